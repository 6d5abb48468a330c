"""The weekly safety report: collected once, frozen, and made into the same bytes ever after."""
