"""Classifiers as a chain of layers, read from a graph, a Keras configuration or names; MobileNetV1's rule table."""
