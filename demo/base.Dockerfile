# A base image from this machine's own shell, so that the demo needs no registry on the internet.
FROM scratch
LABEL org.opencontainers.image.source=https://git.example/acme/bases
ADD rootfs.tar /
CMD ["/bin/sh"]
