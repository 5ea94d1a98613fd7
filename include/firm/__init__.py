"""The firm's folder: a firm's own settings and rules, kept outside the product's code. See docs/how-to/firm_folder.md."""
