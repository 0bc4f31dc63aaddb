"""Spectrograms: STFT, inverse STFT and complex arithmetic in real products."""
