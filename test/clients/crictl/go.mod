// The client that tests use, at the version they use it.
module runv.test/crictl

go 1.24.1

require sigs.k8s.io/cri-tools v1.34.0
