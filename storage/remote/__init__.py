"""What storages live elsewhere: foreign backends, and what reaches them."""
