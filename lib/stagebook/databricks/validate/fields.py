"""Tables of what a bundle and a job may hold: the keys of each mapping, and the kind of each value.

A kind is `str`, `int`, `number`, `bool`, `any`, the name of another mapping in `KEYS`, `[kind]` for a list,
`{kind}` for a mapping of free names, or a name in `ENUMS`. A test compares the tables with Databricks' models.
Source: Jobs API 2.2 and bundle configuration reference, docs.databricks.com.
"""

ENUMS: dict[str, tuple[str, ...]] = {
    "RunIf": ("ALL_SUCCESS", "ALL_DONE", "NONE_FAILED", "AT_LEAST_ONE_SUCCESS", "ALL_FAILED", "AT_LEAST_ONE_FAILED"),
    "ConditionTaskOp": (
        "EQUAL_TO", "NOT_EQUAL", "GREATER_THAN", "GREATER_THAN_OR_EQUAL", "LESS_THAN", "LESS_THAN_OR_EQUAL",
    ),
    "PauseStatus": ("UNPAUSED", "PAUSED"),
    "Source": ("WORKSPACE", "GIT"),
    "PerformanceTarget": ("PERFORMANCE_OPTIMIZED", "STANDARD", "COST_OPTIMIZED"),
    "DurationTarget": ("NO_FLEXIBILITY", "4h", "12h", "24h", "72h"),
    "JobPermissionLevel": ("CAN_MANAGE", "IS_OWNER", "CAN_MANAGE_RUN", "CAN_VIEW"),
    "BundlePermissionLevel": ("CAN_MANAGE", "CAN_RUN", "CAN_VIEW"),
    "JobsHealthMetric": (
        "RUN_DURATION_SECONDS", "STREAMING_BACKLOG_BYTES", "STREAMING_BACKLOG_RECORDS", "STREAMING_BACKLOG_SECONDS",
        "STREAMING_BACKLOG_FILES",
    ),
    "JobsHealthOperator": ("GREATER_THAN",),
    "RuntimeEngine": ("STANDARD", "PHOTON", "NULL"),
    "DataSecurityMode": (
        "DATA_SECURITY_MODE_AUTO", "DATA_SECURITY_MODE_STANDARD", "DATA_SECURITY_MODE_DEDICATED", "SINGLE_USER",
        "USER_ISOLATION", "NONE", "LEGACY_TABLE_ACL", "LEGACY_PASSTHROUGH", "LEGACY_SINGLE_USER",
        "LEGACY_SINGLE_USER_STANDARD",
    ),
    "AwsAvailability": ("SPOT", "ON_DEMAND", "SPOT_WITH_FALLBACK"),
    "AzureAvailability": ("SPOT_AZURE", "ON_DEMAND_AZURE", "SPOT_WITH_FALLBACK_AZURE"),
    "GcpAvailability": ("PREEMPTIBLE_GCP", "ON_DEMAND_GCP", "PREEMPTIBLE_WITH_FALLBACK_GCP"),
    "EbsVolumeType": ("GENERAL_PURPOSE_SSD", "THROUGHPUT_OPTIMIZED_HDD"),
    "DependencyMode": (
        "DEPENDENCY_MODE_ENVIRONMENTS", "DEPENDENCY_MODE_CLUSTER_LIBRARIES", "DEPENDENCY_MODE_AUTO",
    ),
    "ConfidentialComputeType": ("CONFIDENTIAL_COMPUTE_TYPE_NONE", "SEV_SNP"),
    "Kind": ("CLASSIC_PREVIEW",),
    "GitProvider": (
        "gitHub", "bitbucketCloud", "azureDevOpsServices", "gitHubEnterprise", "bitbucketServer", "gitLab",
        "gitLabEnterpriseEdition", "awsCodeCommit",
    ),
    "TaskRetryMode": ("NEVER", "ON_FAILURE"),
    "PeriodicTriggerConfigurationTimeUnit": ("MINUTES", "HOURS", "DAYS", "WEEKS"),
    "Condition": ("ANY_UPDATED", "ALL_UPDATED"),
    "ServingModelWorkloadType": (
        "CPU", "CPU_MEDIUM", "CPU_LARGE", "GPU_SMALL", "GPU_MEDIUM", "GPU_LARGE", "GPU_XLARGE", "GPU_XLARGE_8",
        "MULTIGPU_MEDIUM",
    ),
    "ServingEndpointPermissionLevel": ("CAN_MANAGE", "CAN_QUERY", "CAN_VIEW"),
    "TargetMode": ("development", "production"),
}  # fmt: skip

TASK_TYPES: dict[str, str] = {
    "notebook_task": "NotebookTask", "spark_python_task": "SparkPythonTask", "python_wheel_task": "PythonWheelTask",
    "spark_jar_task": "SparkJarTask", "spark_submit_task": "SparkSubmitTask", "sql_task": "SqlTask",
    "pipeline_task": "PipelineTask", "run_job_task": "RunJobTask", "condition_task": "ConditionTask",
    "for_each_task": "ForEachTask", "dbt_task": "DbtTask", "dbt_platform_task": "any", "dashboard_task": "any",
    "alert_task": "any", "power_bi_task": "any", "clean_rooms_notebook_task": "any", "gen_ai_compute_task": "any",
    "ai_runtime_task": "any", "python_operator_task": "any",
}  # fmt: skip

_NOTIFY = {
    "no_alert_for_skipped_runs": "bool", "on_start": "[str]", "on_success": "[str]", "on_failure": "[str]",
    "on_duration_warning_threshold_exceeded": "[str]", "on_streaming_backlog_exceeded": "[str]",
    "on_maintenance_start": "[str]", "on_maintenance_complete": "[str]",
}  # fmt: skip
_PRINCIPAL = {"user_name": "str", "group_name": "str", "service_principal_name": "str"}

KEYS: dict[str, dict[str, str]] = {
    "Job": {
        "name": "str", "description": "str", "tags": "{str}", "max_concurrent_runs": "int", "queue": "QueueSettings",
        "timeout_seconds": "int", "schedule": "CronSchedule", "trigger": "TriggerSettings", "triggers": "[any]",
        "continuous": "Continuous", "parameters": "[JobParameterDefinition]",
        "email_notifications": "JobEmailNotifications", "webhook_notifications": "WebhookNotifications",
        "notification_settings": "JobNotificationSettings", "health": "JobsHealthRules",
        "environments": "[JobEnvironment]", "environment_variables": "[any]", "job_clusters": "[JobCluster]",
        "tasks": "[Task]", "git_source": "GitSource", "budget_policy_id": "str", "usage_policy_id": "str",
        "performance_target": "PerformanceTarget", "duration_target": "DurationTarget",
        "permissions": "[JobPermission]", "run_as": "JobRunAs", "lifecycle": "Lifecycle", "parent_path": "str",
    },
    "Task": {
        "task_key": "str", "description": "str", "depends_on": "[TaskDependency]", "run_if": "RunIf",
        "max_retries": "int", "min_retry_interval_millis": "int", "retry_on_timeout": "bool", "timeout_seconds": "int",
        "disabled": "bool", "job_cluster_key": "str", "new_cluster": "ClusterSpec", "existing_cluster_id": "str",
        "environment_key": "str", "environment_variables_key": "str", "compute": "any", "libraries": "[Library]",
        "health": "JobsHealthRules", "email_notifications": "TaskEmailNotifications",
        "webhook_notifications": "WebhookNotifications", "notification_settings": "TaskNotificationSettings",
        "disable_auto_optimization": "bool", **TASK_TYPES,
    },
    "TaskDependency": {"task_key": "str", "outcome": "str"},
    "NotebookTask": {
        "notebook_path": "str", "source": "Source", "base_parameters": "{str}", "warehouse_id": "str",
    },
    "SparkPythonTask": {"python_file": "str", "parameters": "[str]", "source": "Source"},
    "PythonWheelTask": {
        "package_name": "str", "entry_point": "str", "parameters": "[str]", "named_parameters": "{str}",
    },
    "SparkJarTask": {"main_class_name": "str", "jar_uri": "str", "parameters": "[str]", "run_as_repl": "bool"},
    "SparkSubmitTask": {"parameters": "[str]"},
    "SqlTask": {
        "warehouse_id": "str", "query": "any", "file": "any", "alert": "any", "dashboard": "any", "parameters": "{str}",
    },
    "PipelineTask": {
        "pipeline_id": "str", "full_refresh": "bool", "refresh_selection": "[str]", "full_refresh_selection": "[str]",
        "reset_checkpoint_selection": "[str]", "refresh_flow_selection": "[str]", "parameters": "{str}",
    },
    "RunJobTask": {"job_id": "int", "job_parameters": "{str}", "pipeline_params": "any"},
    "ConditionTask": {"left": "str", "op": "ConditionTaskOp", "right": "str"},
    "ForEachTask": {"inputs": "str", "concurrency": "int", "task": "Task"},
    "DbtTask": {
        "commands": "[str]", "catalog": "str", "schema": "str", "warehouse_id": "str", "source": "Source",
        "profiles_directory": "str", "project_directory": "str",
    },
    "Library": {
        "whl": "str", "jar": "str", "egg": "str", "requirements": "str", "pypi": "PythonPyPiLibrary",
        "maven": "MavenLibrary", "cran": "RCranLibrary",
    },
    "PythonPyPiLibrary": {"package": "str", "repo": "str"},
    "RCranLibrary": {"package": "str", "repo": "str"},
    "MavenLibrary": {"coordinates": "str", "repo": "str", "exclusions": "[str]"},
    "JobCluster": {"job_cluster_key": "str", "new_cluster": "ClusterSpec", "serverless_compute_id": "str"},
    "ClusterSpec": {
        "spark_version": "str", "node_type_id": "str", "driver_node_type_id": "str", "num_workers": "int",
        "autoscale": "AutoScale", "runtime_engine": "RuntimeEngine", "data_security_mode": "DataSecurityMode",
        "single_user_name": "str", "spark_conf": "{str}", "spark_env_vars": "{str}", "custom_tags": "{str}",
        "policy_id": "str", "apply_policy_default_values": "bool", "instance_pool_id": "str",
        "driver_instance_pool_id": "str", "aws_attributes": "AwsAttributes", "azure_attributes": "AzureAttributes",
        "gcp_attributes": "GcpAttributes", "autotermination_minutes": "int", "kind": "Kind", "is_single_node": "bool",
        "use_ml_runtime": "bool", "cluster_name": "str", "init_scripts": "[any]", "cluster_log_conf": "any",
        "docker_image": "any", "enable_elastic_disk": "bool", "enable_local_disk_encryption": "bool",
        "ssh_public_keys": "[str]", "workload_type": "any", "worker_node_type_flexibility": "any",
        "driver_node_type_flexibility": "any", "remote_disk_throughput": "int", "dependency_mode": "DependencyMode",
        "total_initial_remote_disk_size": "int",
    },
    "AutoScale": {"min_workers": "int", "max_workers": "int"},
    "AwsAttributes": {
        "availability": "AwsAvailability", "first_on_demand": "int", "spot_bid_price_percent": "int", "zone_id": "str",
        "instance_profile_arn": "str", "ebs_volume_type": "EbsVolumeType", "ebs_volume_count": "int",
        "ebs_volume_size": "int", "ebs_volume_iops": "int", "ebs_volume_throughput": "int",
    },
    "AzureAttributes": {
        "availability": "AzureAvailability", "first_on_demand": "int", "spot_bid_max_price": "number",
        "log_analytics_info": "any", "capacity_reservation_group": "str",
    },
    "GcpAttributes": {
        "availability": "GcpAvailability", "first_on_demand": "int", "zone_id": "str", "boot_disk_size": "int",
        "local_ssd_count": "int", "google_service_account": "str", "use_preemptible_executors": "bool",
        "confidential_compute_type": "ConfidentialComputeType",
    },
    "JobEnvironment": {"environment_key": "str", "spec": "Environment"},
    "Environment": {
        "environment_version": "str", "dependencies": "[str]", "base_environment": "str", "client": "str",
        "java_dependencies": "[str]", "project_environment": "any",
    },
    "JobParameterDefinition": {"name": "str", "default": "str"},
    "QueueSettings": {"enabled": "bool"},
    "CronSchedule": {
        "quartz_cron_expression": "str", "timezone_id": "str", "pause_status": "PauseStatus", "sql_condition": "any",
    },
    "TriggerSettings": {
        "pause_status": "PauseStatus", "periodic": "PeriodicTriggerConfiguration",
        "file_arrival": "FileArrivalTriggerConfiguration", "table_update": "TableUpdateTriggerConfiguration",
        "model": "any", "sql_condition": "any",
    },
    "PeriodicTriggerConfiguration": {"interval": "int", "unit": "PeriodicTriggerConfigurationTimeUnit"},
    "FileArrivalTriggerConfiguration": {
        "url": "str", "wait_after_last_change_seconds": "int", "min_time_between_triggers_seconds": "int",
    },
    "TableUpdateTriggerConfiguration": {
        "table_names": "[str]", "condition": "Condition", "wait_after_last_change_seconds": "int",
        "min_time_between_triggers_seconds": "int",
    },
    "Continuous": {"pause_status": "PauseStatus", "task_retry_mode": "TaskRetryMode", "maintenance_window": "any"},
    "JobEmailNotifications": _NOTIFY,
    "TaskEmailNotifications": _NOTIFY,
    "WebhookNotifications": {
        key: "[Webhook]" for key in _NOTIFY if key != "no_alert_for_skipped_runs"
    },
    "Webhook": {"id": "str"},
    "JobNotificationSettings": {"no_alert_for_skipped_runs": "bool", "no_alert_for_canceled_runs": "bool"},
    "TaskNotificationSettings": {
        "no_alert_for_skipped_runs": "bool", "no_alert_for_canceled_runs": "bool", "alert_on_last_attempt": "bool",
    },
    "JobsHealthRules": {"rules": "[JobsHealthRule]"},
    "JobsHealthRule": {"metric": "JobsHealthMetric", "op": "JobsHealthOperator", "value": "int"},
    "JobPermission": {"level": "JobPermissionLevel", **_PRINCIPAL},
    "JobRunAs": _PRINCIPAL,
    "Lifecycle": {"prevent_destroy": "bool"},
    "GitSource": {
        "git_url": "str", "git_provider": "GitProvider", "git_branch": "str", "git_tag": "str", "git_commit": "str",
        "sparse_checkout": "any",
    },
    # serving endpoints
    "ModelServingEndpoint": {
        "name": "str", "config": "EndpointCoreConfigInput", "description": "str", "tags": "[EndpointTag]",
        "permissions": "[ModelServingEndpointPermission]", "lifecycle": "Lifecycle", "route_optimized": "bool",
        "budget_policy_id": "str", "ai_gateway": "any", "email_notifications": "any", "rate_limits": "any",
        "telemetry_config": "any",
    },
    "EndpointCoreConfigInput": {
        "served_entities": "[ServedEntityInput]", "served_models": "any", "traffic_config": "TrafficConfig",
        "auto_capture_config": "any",
    },
    "ServedEntityInput": {
        "name": "str", "entity_name": "str", "entity_version": "str", "workload_size": "str",
        "workload_type": "ServingModelWorkloadType", "scale_to_zero_enabled": "bool", "environment_vars": "{str}",
        "min_provisioned_concurrency": "int", "max_provisioned_concurrency": "int",
        "min_provisioned_throughput": "int", "max_provisioned_throughput": "int", "provisioned_model_units": "int",
        "burst_scaling_enabled": "bool", "instance_profile_arn": "str", "external_model": "any",
    },
    "TrafficConfig": {"routes": "[Route]"},
    "Route": {"served_entity_name": "str", "served_model_name": "str", "traffic_percentage": "int"},
    "EndpointTag": {"key": "str", "value": "str"},
    "ModelServingEndpointPermission": {"level": "ServingEndpointPermissionLevel", **_PRINCIPAL},
    # around the job
    "Bundle": {
        "bundle": "{any}", "include": "[str]", "variables": "{Variable}", "artifacts": "{any}", "sync": "{any}",
        "workspace": "{any}", "presets": "{any}", "permissions": "[BundlePermission]", "run_as": "JobRunAs",
        "resources": "Resources", "targets": "{Target}", "environments": "{Target}", "experimental": "any",
        "python": "any", "scripts": "{any}",
    },
    "Variable": {"description": "str", "default": "any", "lookup": "any", "type": "str"},
    "BundlePermission": {"level": "BundlePermissionLevel", **_PRINCIPAL},
    "Target": {
        "mode": "TargetMode", "default": "bool", "workspace": "{any}", "variables": "{any}", "presets": "{any}",
        "permissions": "[BundlePermission]", "run_as": "JobRunAs", "resources": "Resources", "artifacts": "{any}",
        "bundle": "{any}", "sync": "{any}", "git": "{any}", "cluster_id": "str", "compute_id": "str",
    },
    "Response": {
        "job_id": "int", "settings": "Settings", "creator_user_name": "str", "run_as_user_name": "str",
        "created_time": "int", "effective_budget_policy_id": "str", "effective_usage_policy_id": "str",
        "trigger_state": "any", "has_more": "bool", "next_page_token": "str",
    },
}  # fmt: skip

KEYS["Settings"] = KEYS["Job"] | {
    "format": "str", "edit_mode": "str", "deployment": "any", "access_control_list": "[any]",
}  # fmt: skip
"""A job in responses and requests of the Jobs API."""

REQUIRED: dict[str, tuple[str, ...]] = {
    "Task": ("task_key",),
    "TaskDependency": ("task_key",),
    "NotebookTask": ("notebook_path",),
    "SparkPythonTask": ("python_file",),
    "PythonWheelTask": ("package_name", "entry_point"),
    "ConditionTask": ("left", "op", "right"),
    "ForEachTask": ("inputs", "task"),
    "JobCluster": ("job_cluster_key",),
    "JobEnvironment": ("environment_key",),
    "JobParameterDefinition": ("name", "default"),
    "CronSchedule": ("quartz_cron_expression", "timezone_id"),
    "JobsHealthRule": ("metric", "op", "value"),
    "JobPermission": ("level",),
    "BundlePermission": ("level",),
    "GitSource": ("git_url", "git_provider"),
    "PythonPyPiLibrary": ("package",),
    "RCranLibrary": ("package",),
    "MavenLibrary": ("coordinates",),
    "Webhook": ("id",),
    "ModelServingEndpoint": ("name",),
    "Route": ("traffic_percentage",),
    "EndpointTag": ("key",),
    "ModelServingEndpointPermission": ("level",),
}
