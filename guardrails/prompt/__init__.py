"""The prompt as it is in training and in production: one `render()` and its versioned templates."""
