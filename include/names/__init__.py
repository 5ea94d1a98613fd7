"""Read names as vendors write them: people, couples, registrations and legal entities. Pure functions on texts."""
