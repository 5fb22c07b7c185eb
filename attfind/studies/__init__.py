"""The two user studies of Lang et al. 2021 (section 5): forms that a browser opens without a network, and what their answers say.

`classification` asks which of two attributes an animation shows, `verbal` asks for words that describe one; `analyse` reads the answers.
"""
