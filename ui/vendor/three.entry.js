export {
  AmbientLight, BoxGeometry, Color, DirectionalLight, EdgesGeometry, BufferGeometry, Float32BufferAttribute,
  Line, LineBasicMaterial, LineSegments, Mesh, MeshLambertMaterial, PerspectiveCamera, Raycaster, Scene, Vector2, Vector3, Box3, 
  WebGLRenderer, Spherical,
} from "three";
export { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
