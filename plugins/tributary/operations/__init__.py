"""Templates, style and scripts of the Operations pages. `pages/operations.py` serves them."""
