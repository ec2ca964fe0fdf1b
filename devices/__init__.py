"""Devices: transports to the machines that artifacts are proven on."""
