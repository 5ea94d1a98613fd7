"""Nitrogen (formerly Riskalyze): one grant an advisor, clients, portfolios and questionnaires."""
