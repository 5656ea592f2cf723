"""What users write, as pydantic models: manifests, plans and what both are made of."""
