# tests/integration/api/test_full_flow.py

import asyncio
import pytest
from fastapi.testclient import TestClient
from api.orchestrator_api import app  # not in the printed test, which names `app` without importing it

@pytest.mark.asyncio
async def test_full_workflow_execution():
    with TestClient(app) as client:
        # Submit workflow
        response = client.post(
            "/execute-workflow",
            json={
                "requirements": "Create a simple API",
                "workflow_type": "full"
            }
        )
        session_id = response.json()["session_id"]
        
        # Poll for completion
        max_attempts = 30
        for _ in range(max_attempts):
            status_response = client.get(f"/workflow-status/{session_id}")
            status = status_response.json()["status"]
            
            if status in ["completed", "failed"]:
                break
                
            await asyncio.sleep(2)
        
        # Verify completion
        assert status == "completed"
        assert "generated_code" in status_response.json()
