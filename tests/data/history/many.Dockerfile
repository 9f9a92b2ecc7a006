# syntax-free on purpose: nothing can be pulled
ARG BASE=localhost/base:1
FROM ${BASE} AS build
RUN echo built > /built.txt

FROM build AS middle
ARG WHO=world
LABEL name="vendorx/plugin" \
      # a comment in the middle
      vendor="VendorX" \

      version="1.0"
ENV A=1 B="two words"
WORKDIR /opt/app
COPY --chown=1001:0 app.sh b.txt /opt/app/
RUN echo "hello $WHO" > /hello \
 && echo again >> /hello

FROM middle
COPY --from=build /built.txt /from-build.txt
ADD licenses /licenses
RUN ["/bin/sh", "-c", "echo exec > /exec"]
EXPOSE 8080
VOLUME /data
USER 1001
ENTRYPOINT ["/opt/app/app.sh"]
CMD echo hi
