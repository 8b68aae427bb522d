//! A whole cluster's worth of network in namespaces, to see the load balancer work on one machine.
