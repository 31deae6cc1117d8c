# One target for each container: users, products, orders, loadgen.
FROM python:3.13-slim AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PATH=/opt/venv/bin:$PATH
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin app && \
    install -d -o app -g app /data /reports && \
    python -m venv --without-pip /opt/venv
WORKDIR /app

FROM base AS service
COPY requirements/services.txt /tmp/requirements.txt
RUN pip --python /opt/venv/bin/python install -q --require-hashes -r /tmp/requirements.txt && rm /tmp/requirements.txt
COPY service_common service_common
RUN python -m compileall -q service_common
ENV HOST=0.0.0.0 PORT=8000 DATA_DIR=/data
EXPOSE 8000
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
RUN pip --python /opt/venv/bin/python install -q --require-hashes -r /tmp/requirements.txt && rm /tmp/requirements.txt
COPY loadgen loadgen
RUN python -m compileall -q loadgen
ENV REPORT_DIR=/reports
EXPOSE 8089
USER app
ENTRYPOINT ["python", "-m", "loadgen"]
