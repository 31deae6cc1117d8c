# One target for each container: users, products, orders, loadgen.
FROM python:3.13-slim AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PATH=/opt/venv/bin:$PATH
# No process changes its user here, so no file needs the setuid bit.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin app && \
    install -d -o app -g app /data /reports && \
    find / -xdev -type f -perm /6000 -exec chmod a-s {} + && \
    PYTHONDONTWRITEBYTECODE=1 python -m venv --without-pip /opt/venv
WORKDIR /app

FROM base AS service
COPY requirements/postgres.txt /tmp/requirements.txt
RUN PYTHONDONTWRITEBYTECODE=1 pip --python /opt/venv/bin/python install -q --require-hashes -r /tmp/requirements.txt && \
    find /opt/venv -type d -name tests -prune -exec rm -rf {} + && rm /tmp/requirements.txt
COPY service_common service_common
# The base image has no compiled modules, and a read-only container would compile them at every start.
RUN python -m compileall -q service_common && \
    python -c "import gunicorn.app.wsgiapp, gunicorn.arbiter, requests, service_common.factory, service_common.server.worker"
# SQLite sorts in temporary files while it builds an index; /tmp is memory.
ENV LISTEN_ADDRESS=0.0.0.0 PORT=8000 DATA_DIR=/data SQLITE_TMPDIR=/data
EXPOSE 8000
# A probe costs some 70 ms of CPU time, most of it the engine's. Older engines know no start interval.
HEALTHCHECK --interval=10s --timeout=4s --retries=3 CMD ["python", "-I", "-S", "service_common/server/probe.py"]
USER app

FROM service AS users
COPY users_service users_service
CMD ["gunicorn", "-c", "python:service_common.server.gunicorn_conf", "users_service.app:create_app()"]

FROM service AS products
COPY products_service products_service
CMD ["gunicorn", "-c", "python:service_common.server.gunicorn_conf", "products_service.app:create_app()"]

FROM service AS orders
COPY orders_service orders_service
CMD ["gunicorn", "-c", "python:service_common.server.gunicorn_conf", "orders_service.app:create_app()"]

FROM base AS loadgen
COPY requirements/loadgen.txt /tmp/requirements.txt
RUN PYTHONDONTWRITEBYTECODE=1 pip --python /opt/venv/bin/python install -q --require-hashes -r /tmp/requirements.txt && \
    find /opt/venv -type d -name tests -prune -exec rm -rf {} + && rm /tmp/requirements.txt
COPY loadgen loadgen
RUN python -m compileall -q loadgen && python -c "import loadgen.run.lifecycle, locust.main"
ENV REPORT_DIR=/reports LISTEN_ADDRESS=0.0.0.0
EXPOSE 8089
HEALTHCHECK --interval=10s --timeout=4s --retries=3 CMD ["python", "-I", "-S", "loadgen/probe.py"]
USER app
ENTRYPOINT ["python", "-m", "loadgen"]
