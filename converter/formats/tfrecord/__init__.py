"""TFRecord files and the `tf.train.Example` records that they hold."""
