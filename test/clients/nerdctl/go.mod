// The client that tests use, at the version they use it.
module runv.test/nerdctl

go 1.22

require github.com/containerd/nerdctl v1.7.7
