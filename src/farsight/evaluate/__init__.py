"""Models on tasks: what they answer, and how well."""
