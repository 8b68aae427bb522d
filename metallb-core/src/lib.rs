//! Address allocation and announcement decisions of a bare-metal load balancer, as pure functions of facts.
