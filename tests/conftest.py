"""What all tests share: the rig of outside judges (a chain, a facilitator, official sellers)."""

pytest_plugins = ["tests.rig.fixtures"]
