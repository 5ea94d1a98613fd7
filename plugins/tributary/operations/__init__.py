"""How the Operations pages look: templates, style, script. `pages/operations.py` serves them."""
