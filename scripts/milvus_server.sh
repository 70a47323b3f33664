#!/bin/sh
# Start a server of Milvus with docker compose, run cbir's tests of rows in Milvus against it, and take it away again.
# With `keep`, leave it running, at milvus://localhost:19530. Has never run where cbir is made: there is no docker.
set -eu
cd "$(dirname "$0")/.."
docker compose --file scripts/milvus_compose.yaml up --detach --wait
[ "${1-}" = keep ] && exit
trap 'docker compose --file scripts/milvus_compose.yaml down --volumes' EXIT
CBIR_TEST_MILVUS=milvus://localhost:19530 .venv/bin/python -m pytest tests/index/ann/test_milvus.py "$@"
