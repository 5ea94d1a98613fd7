"""Nitrogen (formerly Riskalyze): one grant per advisor, clients, portfolios and questionnaires."""
