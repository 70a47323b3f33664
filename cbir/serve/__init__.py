"""The server: an index, or several, to look at in a browser and to ask over HTTP (docs/serve.md, docs/http.md)."""
