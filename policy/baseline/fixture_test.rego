package sealyard_test

# evidence is testdata/allowed.json; go test -update writes it.
evidence := {
	"claims": [
		{
			"digest": "sha256:5d5f240da5facee8ed6cd7374f2f16c726472e979db1e0538e2754000758ac74",
			"predicate": {
				"bomFormat": "CycloneDX",
				"components": [
					{
						"hashes": [
							{
								"alg": "SHA-256",
								"content": "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"
							}
						],
						"name": "app"
					},
					{
						"hashes": [
							{
								"alg": "SHA-256",
								"content": "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
							}
						],
						"name": "app"
					}
				],
				"specVersion": "1.6"
			},
			"predicateType": "https://cyclonedx.org/bom",
			"signer": {
				"id": "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
				"issuer": "",
				"kind": "key",
				"workflow": {
					"commit": "",
					"config": "",
					"event": "",
					"ownerId": "",
					"ref": "",
					"repository": "",
					"repositoryId": "",
					"run": "",
					"runner": "",
					"signer": "",
					"visibility": ""
				}
			},
			"subjects": [
				"sha256:0101010101010101010101010101010101010101010101010101010101010101"
			]
		},
		{
			"digest": "sha256:28af59723420d2cc1077db30707bbb9b8e719d1f8f18b985fa0b0a10c6405956",
			"predicate": {
				"bomFormat": "CycloneDX",
				"components": [
					{
						"name": "openssl",
						"version": "3.0.17-1"
					}
				],
				"specVersion": "1.6"
			},
			"predicateType": "https://cyclonedx.org/bom",
			"signer": {
				"id": "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
				"issuer": "",
				"kind": "key",
				"workflow": {
					"commit": "",
					"config": "",
					"event": "",
					"ownerId": "",
					"ref": "",
					"repository": "",
					"repositoryId": "",
					"run": "",
					"runner": "",
					"signer": "",
					"visibility": ""
				}
			},
			"subjects": [
				"sha256:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"
			]
		},
		{
			"digest": "sha256:558358e201d66b88b96fb3b85a27a1eccc9c6a98de97d29da97a4d9b0edade04",
			"predicate": {
				"bomFormat": "CycloneDX",
				"components": [
					{
						"name": "openssl",
						"version": "3.0.17-1"
					}
				],
				"specVersion": "1.6"
			},
			"predicateType": "https://cyclonedx.org/bom",
			"signer": {
				"id": "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
				"issuer": "",
				"kind": "key",
				"workflow": {
					"commit": "",
					"config": "",
					"event": "",
					"ownerId": "",
					"ref": "",
					"repository": "",
					"repositoryId": "",
					"run": "",
					"runner": "",
					"signer": "",
					"visibility": ""
				}
			},
			"subjects": [
				"sha256:0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
			]
		},
		{
			"digest": "sha256:c0f65ce021d9837a807417875e603b80c391c4060fac5a8f5950e49cc687a886",
			"predicate": {
				"metadata": {
					"scanFinishedOn": "2026-11-20T11:59:02Z",
					"scanStartedOn": "2026-11-20T11:59:00Z"
				},
				"scanner": {
					"db": {
						"lastUpdate": "2026-11-19T06:00:00Z",
						"sealyard_digest": {
							"sha256": "dbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdb"
						},
						"uri": "https://example.com/db",
						"version": "6"
					},
					"result": [],
					"uri": "https://github.com/sealyard/sealyard",
					"version": "v0.1.0"
				},
				"sealyard_coverage": {
					"covered": false,
					"distro": "",
					"packages": 0,
					"uncomparable": 0
				},
				"sealyard_platforms": [
					{
						"digest": "sha256:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",
						"platform": "linux/amd64",
						"vulns": "sha256:4288bcbaa1d4b3e2c78585d661466d66e9ffd5a891b0cc567ece24e4fbc40cf1"
					},
					{
						"digest": "sha256:0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
						"platform": "linux/arm64",
						"vulns": "sha256:a763771bd75556be53a9f480779a8e8f8359b8f7f9db6c399d0e248849b16833"
					}
				]
			},
			"predicateType": "https://in-toto.io/attestation/vulns/v0.2",
			"signer": {
				"id": "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
				"issuer": "",
				"kind": "key",
				"workflow": {
					"commit": "",
					"config": "",
					"event": "",
					"ownerId": "",
					"ref": "",
					"repository": "",
					"repositoryId": "",
					"run": "",
					"runner": "",
					"signer": "",
					"visibility": ""
				}
			},
			"subjects": [
				"sha256:0101010101010101010101010101010101010101010101010101010101010101"
			]
		},
		{
			"digest": "sha256:4288bcbaa1d4b3e2c78585d661466d66e9ffd5a891b0cc567ece24e4fbc40cf1",
			"predicate": {
				"metadata": {
					"scanFinishedOn": "2026-11-20T11:59:02Z",
					"scanStartedOn": "2026-11-20T11:59:00Z"
				},
				"scanner": {
					"db": {
						"lastUpdate": "2026-11-19T06:00:00Z",
						"sealyard_digest": {
							"sha256": "dbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdb"
						},
						"uri": "https://example.com/db",
						"version": "6"
					},
					"result": [
						{
							"annotations": [
								{
									"aliases": [],
									"binaries": [
										"libssl3"
									],
									"dataSource": "https://example.com/CVE-2026-0001",
									"epss": 0.01,
									"fixState": "fixed",
									"fixedIn": [
										"3.0.18-1"
									],
									"layer": "",
									"package": "openssl",
									"purl": "pkg:deb/debian/openssl@3.0.17-1",
									"severity": "low",
									"type": "deb",
									"version": "3.0.17-1"
								}
							],
							"id": "CVE-2026-0001",
							"severity": [
								{
									"method": "vendor",
									"score": "low"
								}
							]
						}
					],
					"uri": "https://github.com/sealyard/sealyard",
					"version": "v0.1.0"
				},
				"sealyard_coverage": {
					"covered": true,
					"distro": "debian 12",
					"packages": 105,
					"uncomparable": 0
				}
			},
			"predicateType": "https://in-toto.io/attestation/vulns/v0.2",
			"signer": {
				"id": "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
				"issuer": "",
				"kind": "key",
				"workflow": {
					"commit": "",
					"config": "",
					"event": "",
					"ownerId": "",
					"ref": "",
					"repository": "",
					"repositoryId": "",
					"run": "",
					"runner": "",
					"signer": "",
					"visibility": ""
				}
			},
			"subjects": [
				"sha256:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"
			]
		},
		{
			"digest": "sha256:a763771bd75556be53a9f480779a8e8f8359b8f7f9db6c399d0e248849b16833",
			"predicate": {
				"metadata": {
					"scanFinishedOn": "2026-11-20T11:59:02Z",
					"scanStartedOn": "2026-11-20T11:59:00Z"
				},
				"scanner": {
					"db": {
						"lastUpdate": "2026-11-19T06:00:00Z",
						"sealyard_digest": {
							"sha256": "dbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdb"
						},
						"uri": "https://example.com/db",
						"version": "6"
					},
					"result": [
						{
							"annotations": [
								{
									"aliases": [],
									"binaries": [
										"libssl3"
									],
									"dataSource": "https://example.com/CVE-2026-0001",
									"epss": 0.01,
									"fixState": "fixed",
									"fixedIn": [
										"3.0.18-1"
									],
									"layer": "",
									"package": "openssl",
									"purl": "pkg:deb/debian/openssl@3.0.17-1",
									"severity": "low",
									"type": "deb",
									"version": "3.0.17-1"
								}
							],
							"id": "CVE-2026-0001",
							"severity": [
								{
									"method": "vendor",
									"score": "low"
								}
							]
						}
					],
					"uri": "https://github.com/sealyard/sealyard",
					"version": "v0.1.0"
				},
				"sealyard_coverage": {
					"covered": true,
					"distro": "debian 12",
					"packages": 105,
					"uncomparable": 0
				}
			},
			"predicateType": "https://in-toto.io/attestation/vulns/v0.2",
			"signer": {
				"id": "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
				"issuer": "",
				"kind": "key",
				"workflow": {
					"commit": "",
					"config": "",
					"event": "",
					"ownerId": "",
					"ref": "",
					"repository": "",
					"repositoryId": "",
					"run": "",
					"runner": "",
					"signer": "",
					"visibility": ""
				}
			},
			"subjects": [
				"sha256:0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
			]
		},
		{
			"digest": "sha256:3ed6f5981d2f7b71b5618408367aa7d9b3fd4b3186cb318ac476152b45664d16",
			"predicate": {
				"buildDefinition": {
					"buildType": "https://github.com/sealyard/sealyard/blob/main/docs/buildtypes/container-v1.md",
					"externalParameters": {
						"dockerfile": "Dockerfile",
						"entitlements": [],
						"network": "default",
						"source": "https://example.com/app"
					},
					"internalParameters": {
						"sealyard_mode": "cli"
					},
					"resolvedDependencies": [
						{
							"annotations": {
								"sealyard_dockerfileLine": "3"
							},
							"digest": {
								"sha256": "1212121212121212121212121212121212121212121212121212121212121212"
							},
							"uri": "pkg:docker/debian@12?digest=sha256:1212121212121212121212121212121212121212121212121212121212121212&platform=linux%2Famd64"
						}
					]
				},
				"runDetails": {
					"builder": {
						"id": "https://sealyard.dev/builders/cli"
					},
					"metadata": {
						"startedOn": "2026-11-20T11:58:00Z"
					}
				}
			},
			"predicateType": "https://slsa.dev/provenance/v1",
			"signer": {
				"id": "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
				"issuer": "",
				"kind": "key",
				"workflow": {
					"commit": "",
					"config": "",
					"event": "",
					"ownerId": "",
					"ref": "",
					"repository": "",
					"repositoryId": "",
					"run": "",
					"runner": "",
					"signer": "",
					"visibility": ""
				}
			},
			"subjects": [
				"sha256:0101010101010101010101010101010101010101010101010101010101010101",
				"sha256:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",
				"sha256:0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
			]
		},
		{
			"digest": "sha256:8b89e2f2e6541d91cf6ed77efe3a5066fcf79ea2cbf0dc742e63ba8d770f3a59",
			"predicate": {
				"name": "app",
				"packages": [
					{
						"checksums": [
							{
								"algorithm": "SHA256",
								"checksumValue": "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"
							}
						],
						"name": "app"
					},
					{
						"checksums": [
							{
								"algorithm": "SHA256",
								"checksumValue": "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
							}
						],
						"name": "app"
					}
				],
				"spdxVersion": "SPDX-2.3"
			},
			"predicateType": "https://spdx.dev/Document",
			"signer": {
				"id": "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
				"issuer": "",
				"kind": "key",
				"workflow": {
					"commit": "",
					"config": "",
					"event": "",
					"ownerId": "",
					"ref": "",
					"repository": "",
					"repositoryId": "",
					"run": "",
					"runner": "",
					"signer": "",
					"visibility": ""
				}
			},
			"subjects": [
				"sha256:0101010101010101010101010101010101010101010101010101010101010101"
			]
		},
		{
			"digest": "sha256:6289585407fa1675f247374fe296245f820508022db74836a3204d8adde3665b",
			"predicate": {
				"name": "app",
				"packages": [
					{
						"name": "openssl",
						"versionInfo": "3.0.17-1"
					}
				],
				"spdxVersion": "SPDX-2.3"
			},
			"predicateType": "https://spdx.dev/Document",
			"signer": {
				"id": "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
				"issuer": "",
				"kind": "key",
				"workflow": {
					"commit": "",
					"config": "",
					"event": "",
					"ownerId": "",
					"ref": "",
					"repository": "",
					"repositoryId": "",
					"run": "",
					"runner": "",
					"signer": "",
					"visibility": ""
				}
			},
			"subjects": [
				"sha256:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"
			]
		},
		{
			"digest": "sha256:3f358bcf03462e7e7345f90613df8fabd59108a2cc2a15ef12b384878dbc985c",
			"predicate": {
				"name": "app",
				"packages": [
					{
						"name": "openssl",
						"versionInfo": "3.0.17-1"
					}
				],
				"spdxVersion": "SPDX-2.3"
			},
			"predicateType": "https://spdx.dev/Document",
			"signer": {
				"id": "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
				"issuer": "",
				"kind": "key",
				"workflow": {
					"commit": "",
					"config": "",
					"event": "",
					"ownerId": "",
					"ref": "",
					"repository": "",
					"repositoryId": "",
					"run": "",
					"runner": "",
					"signer": "",
					"visibility": ""
				}
			},
			"subjects": [
				"sha256:0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
			]
		}
	],
	"image": {
		"annotations": {
			"org.opencontainers.image.source": "https://example.com/app"
		},
		"digest": "sha256:0101010101010101010101010101010101010101010101010101010101010101",
		"mediaType": "application/vnd.oci.image.index.v1+json",
		"platforms": [
			{
				"annotations": {
					"org.opencontainers.image.version": "1.2.3"
				},
				"config": {
					"cmd": [
						"serve"
					],
					"created": "2026-11-20T11:00:00Z",
					"entrypoint": [
						"/app"
					],
					"envNames": [
						"PATH"
					],
					"exposedPorts": [
						"8080/tcp"
					],
					"healthcheck": true,
					"labels": {
						"team": "yard"
					},
					"user": "65532",
					"volumes": [
						"/data"
					],
					"workingDir": "/"
				},
				"digest": "sha256:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",
				"layers": 2,
				"platform": "linux/amd64",
				"size": 30000000
			},
			{
				"annotations": {
					"org.opencontainers.image.version": "1.2.3"
				},
				"config": {
					"cmd": [
						"serve"
					],
					"created": "2026-11-20T11:00:00Z",
					"entrypoint": [
						"/app"
					],
					"envNames": [
						"PATH"
					],
					"exposedPorts": [
						"8080/tcp"
					],
					"healthcheck": true,
					"labels": {
						"team": "yard"
					},
					"user": "65532",
					"volumes": [
						"/data"
					],
					"workingDir": "/"
				},
				"digest": "sha256:0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
				"layers": 2,
				"platform": "linux/arm64",
				"size": 30000000
			}
		]
	},
	"schemaVersion": "1",
	"time": "2026-11-20T12:00:00Z"
}
