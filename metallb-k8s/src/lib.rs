//! MetalLB's Kubernetes resources, watchers and writers around metallb-core.
