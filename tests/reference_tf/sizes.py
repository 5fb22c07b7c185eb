"""Four networks small enough to build in a moment, with no two sizes alike."""

from stylexport.torch_models.config import ConvSpec, DiscriminatorConfig, EncoderConfig, GeneratorConfig, MobileNetV1Config

GENERATOR = GeneratorConfig(16, (7, 5, 3), latent=4, labels=2, z=6, mapping_layers=3)
ENCODER = EncoderConfig(16, (7, 5, 3), hidden=9, latent=4)
DISCRIMINATOR = DiscriminatorConfig(16, (7, 5, 3), hidden=9, labels=2)
CLASSIFIER = MobileNetV1Config(
    (
        ConvSpec(5, stride=(2, 2)),
        ConvSpec(5, depthwise=True, stride=(2, 2), padding=(0, 1, 0, 1), activation="relu", epsilon=2e-3),
        ConvSpec(8, kernel=(1, 1), scale=False),
    ),
    labels=3,
    resolution=16,
    dropout=0.5,
)
ALL = {config.network: config for config in (GENERATOR, ENCODER, DISCRIMINATOR, CLASSIFIER)}
