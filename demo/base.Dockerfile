# A base image from this machine's own shell, so that the demo needs no registry on the internet.
FROM scratch
ADD rootfs.tar /
CMD ["/bin/sh"]
