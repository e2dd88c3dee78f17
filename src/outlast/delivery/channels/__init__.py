"""The channels a notice can take: one file each, opened by `outlast.delivery.channels.opening`."""
