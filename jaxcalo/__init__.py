"""Generative models of calorimeter showers in JAX: train on Geant4, generate, and prove it."""

__version__ = "0.1.0"
