"""The models' own process: the proxy asks it over a Unix socket and never loads a model itself."""
