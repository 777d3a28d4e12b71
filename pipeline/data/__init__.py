"""Turn pictures of any kind into records per resolution and a tf.data pipeline."""
