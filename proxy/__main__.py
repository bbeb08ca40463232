"""`python -m proxy` is `farebox`."""

from proxy.cli import main

if __name__ == "__main__":
    main(prog_name="farebox")
