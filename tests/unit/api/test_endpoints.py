# tests/unit/api/test_endpoints.py

from fastapi.testclient import TestClient
from api.orchestrator_api import app

client = TestClient(app)

def test_execute_workflow():
    response = client.post(
        "/execute-workflow",
        json={
            "requirements": "Create a calculator",
            "workflow_type": "full"
        }
    )
    assert response.status_code == 200
    data = response.json()
    assert "session_id" in data
    assert data["status"] == "accepted"

def test_invalid_workflow_type():
    response = client.post(
        "/execute-workflow",
        json={
            "requirements": "Test",
            "workflow_type": "invalid"
        }
    )
    assert response.status_code == 400
    assert "Unknown workflow type" in response.json()["detail"]
