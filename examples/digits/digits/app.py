"""The two Flower apps of this subnet, as `pyproject.toml` names them."""

from pathlib import Path

from subnet.engine.deploy import create_client, create_server

APP_DIR = Path(__file__).resolve().parents[1]

client = create_client(APP_DIR)
server = create_server(APP_DIR)
