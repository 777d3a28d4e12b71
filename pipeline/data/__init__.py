"""Data: from pictures of any kind to records per resolution and a tf.data pipeline."""
