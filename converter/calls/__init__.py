"""Which functions of a release are run for a network, on which inputs."""
