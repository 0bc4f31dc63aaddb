"""The bundled rules: one file, one rule; folders by what they are about.

They are found by walking this package, exactly as a third-party pack's are.
"""
