"""The firm's folder: what a firm changes without a change of the product. See docs/how-to/firm_folder.md."""
