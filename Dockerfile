# One target for each container: users, products, orders, loadgen.
FROM python:3.13-slim AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PATH=/opt/venv/bin:$PATH
# Nobody in here becomes somebody else, so no file needs the setuid bit.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin app && \
    install -d -o app -g app /data /reports && \
    find / -xdev -type f -perm /6000 -exec chmod a-s {} + && \
    PYTHONDONTWRITEBYTECODE=1 python -m venv --without-pip /opt/venv
WORKDIR /app

FROM base AS service
COPY requirements/services.txt /tmp/requirements.txt
RUN PYTHONDONTWRITEBYTECODE=1 pip --python /opt/venv/bin/python install -q --require-hashes -r /tmp/requirements.txt && \
    find /opt/venv -type d -name tests -prune -exec rm -rf {} + && rm /tmp/requirements.txt
COPY service_common service_common
# The base comes without compiled modules, and a container that writes nothing would compile them at every start.
RUN python -m compileall -q service_common && \
    python -c "import gunicorn.app.wsgiapp, gunicorn.arbiter, requests, service_common.app, service_common.worker"
# SQLite sorts in files there while it makes an index, not in /tmp, which is memory.
ENV LISTEN_ADDRESS=0.0.0.0 PORT=8000 DATA_DIR=/data SQLITE_TMPDIR=/data
EXPOSE 8000
HEALTHCHECK --interval=1s --timeout=4s --retries=30 CMD ["python", "-I", "-S", "service_common/probe.py"]
USER app

FROM service AS users
COPY users_service users_service
CMD ["gunicorn", "-c", "python:service_common.gunicorn_conf", "users_service.app:create_app()"]

FROM service AS products
COPY products_service products_service
CMD ["gunicorn", "-c", "python:service_common.gunicorn_conf", "products_service.app:create_app()"]

FROM service AS orders
COPY orders_service orders_service
CMD ["gunicorn", "-c", "python:service_common.gunicorn_conf", "orders_service.app:create_app()"]

FROM base AS loadgen
COPY requirements/loadgen.txt /tmp/requirements.txt
RUN PYTHONDONTWRITEBYTECODE=1 pip --python /opt/venv/bin/python install -q --require-hashes -r /tmp/requirements.txt && \
    find /opt/venv -type d -name tests -prune -exec rm -rf {} + && rm /tmp/requirements.txt
COPY loadgen loadgen
RUN python -m compileall -q loadgen && python -c "import loadgen.conductor, locust.main"
ENV REPORT_DIR=/reports LISTEN_ADDRESS=0.0.0.0
EXPOSE 8089
HEALTHCHECK --interval=1s --timeout=4s --retries=30 CMD ["python", "-I", "-S", "loadgen/probe.py"]
USER app
ENTRYPOINT ["python", "-m", "loadgen"]
