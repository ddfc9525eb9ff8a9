"""A model server of vla-eval that answers chunks of 4 equal actions: `vla_eval_server.py PORT`."""

import sys

import numpy as np
from vla_eval.model_servers.predict import PredictModelServer
from vla_eval.model_servers.serve import serve
from vla_eval.specs import GRIPPER_CLOSE_POS, IMAGE_RGB, LANGUAGE, POSITION_DELTA, ROTATION_AA


class Steady(PredictModelServer):
    def __init__(self):
        super().__init__(chunk_size=4)

    def predict(self, obs, ctx):
        image = obs["images"]["agentview"]
        assert image.dtype == np.uint8 and image.shape[2] == 3, image.shape
        assert "wrist" in obs["images"], "it was asked for"
        return {"actions": np.full((4, 7), 0.5, np.float32)}

    def get_action_spec(self):
        return {"position": POSITION_DELTA, "rotation": ROTATION_AA, "gripper": GRIPPER_CLOSE_POS}

    def get_observation_spec(self):
        return {"agentview": IMAGE_RGB, "wrist": IMAGE_RGB, "language": LANGUAGE}

    def get_observation_params(self):
        return {"send_wrist_image": True}


serve(Steady(), "127.0.0.1", int(sys.argv[1]))
