"""Parallax: segmentation from several modalities when labels are scarce and modalities do not line up."""

__version__ = "0.1.0"
