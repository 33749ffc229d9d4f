"""What people see: the report folder, a model's card, pictures."""
