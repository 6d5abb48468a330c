"""A small real model, served as an OpenAI endpoint, for whoever has none configured."""
