"""The inline proxy: holds every exchange between an application and its model to a policy."""
