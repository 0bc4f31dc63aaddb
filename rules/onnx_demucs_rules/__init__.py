"""The bundled rules: one file, one rule; folders by subject.

They are found by walking this package, exactly as a third-party pack's are.
"""
