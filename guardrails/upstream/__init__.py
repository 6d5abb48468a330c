"""The models behind the proxy: which endpoint serves a request, and how it is reached."""
